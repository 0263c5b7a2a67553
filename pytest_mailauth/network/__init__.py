"""The world around a server as data: who runs mail servers, under which names, and how they answer.

Nothing here opens a socket, looks up a name or reaches another machine; the servers below serve it on loopback.
"""
