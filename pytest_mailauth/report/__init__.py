"""What a person or a program is shown: plain text, the terminal, and JSON. Nothing here decides anything."""
