"""The segmentation half: a frozen SAM steered by attributes in words through trained adapters."""
