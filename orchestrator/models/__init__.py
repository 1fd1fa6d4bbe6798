"""A model as the driver sees it, without torch and without its weights: its shape, its content, its template, its layers."""
