"""Train, calibrate and export the count model. Needs the extra `train`."""
