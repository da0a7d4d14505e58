"""Training, calibration and export of the count model. Needs the extra `train`."""
