"""What the scheduler is made of: the items and where they stand, the workers, what things take, who runs what next."""
