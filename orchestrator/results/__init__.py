"""The results folder from within: its files, their rows, who writes them, and the tables made of them."""
