"""Units of sizes in bytes."""

MIB = 1024 * 1024
GIB = 1024 * MIB
