"""Predicts the classes of images with a final model, by torch or by ONNX Runtime."""
