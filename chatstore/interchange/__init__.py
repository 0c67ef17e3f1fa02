"""The formats in which chats come and leave; pure functions."""
