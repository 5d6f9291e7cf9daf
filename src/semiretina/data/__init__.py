"""From files to batches: sources, the split, reading photographs, the pixel cache, augmentation, the stream."""
