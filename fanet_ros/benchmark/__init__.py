"""`fanet benchmark`: how fast network, frame and node are on this machine, against eager PyTorch in the same run.

Every contender runs in a process of its own and sleeps while it is not its turn; the parent measures them in turns.
"""
