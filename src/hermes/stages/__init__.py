"""The pure stages, in pipeline order: frames and lazy plans in, frames and plans out; never storage."""
