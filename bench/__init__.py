"""pyreg beside Debian's `docker-registry`, on one machine, in one run: `make bench`.

Both serve from directories of their own on the same disk, with the same configuration, and take
turns: every figure is the median of measurements that alternate between the two, so that a busy
neighbour or a filling disk hits both.
"""
