"""Files: bytes in and out. What the bytes mean is the datasets room's business."""
