"""The process that an agency keeps running: it runs stages at once, since all that they import is there already."""
