"""Reading what others have written, files and messages: no size and no name is trusted."""
