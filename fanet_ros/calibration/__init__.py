"""`fanet calibrate`: int8, and what each precision costs."""
