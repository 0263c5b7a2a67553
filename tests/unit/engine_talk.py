"""How bytes are carried to an engine, whichever protocol it speaks."""

from pytest_mailauth.servers.engines.contract import StartTLS


def deliver(engine, pieces):
    """Carry bytes as the contract says: after StartTLS nothing more is fed."""
    outputs = []
    for piece in pieces:
        outputs += engine.receive(piece)
        if outputs and isinstance(outputs[-1], StartTLS):
            break
    return outputs
