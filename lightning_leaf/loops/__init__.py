"""Monitoring in any training loop: plain PyTorch, Lightning Fabric and Hugging Face."""
