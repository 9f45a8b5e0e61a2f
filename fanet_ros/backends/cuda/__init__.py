"""What both GPU backends share."""
