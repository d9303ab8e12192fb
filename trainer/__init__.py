"""The paper's network and its training, in PyTorch: from annotated images to a checkpoint."""
