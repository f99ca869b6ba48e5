"""The lake in a browser: its tables, executions and pages, and the current status. Nothing is ever written."""
