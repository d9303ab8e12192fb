"""From a checkpoint to a model file that was compared with PyTorch before it was let out."""
