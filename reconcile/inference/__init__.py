"""The ONNX count model on a device."""
