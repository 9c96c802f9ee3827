"""The joint cascade: each site solves its own part, only boundary values travel, one answer comes out."""
