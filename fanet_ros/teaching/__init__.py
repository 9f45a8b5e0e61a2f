"""From unlabelled footage to a data set: a large network labels, FANet learns (`fanet teach`)."""
