"""Training of the models that ship: pictures, degradations, the loop. Needs PyTorch and OpenCV alone."""
