"""One HTML file on a subset: words, pictures, page."""
