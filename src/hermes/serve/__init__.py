"""The lake in a browser: its tables, executions and pages, and what holds now. Nothing is ever written."""
