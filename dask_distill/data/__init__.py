"""What comes in: arrays that share the row axis, and the blocks that workers see."""
