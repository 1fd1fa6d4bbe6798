"""The response browser of the page: every answer packed into it, and the script that unpacks and shows them."""
