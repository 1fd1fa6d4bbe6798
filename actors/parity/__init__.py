"""What a parity study measures beside a model: the same prompts through several tools, and known mistakes planted one by one."""
