"""Reading pixels, and writing images and labels with all resolution levels."""
