"""Why a connection, a login or a delivery failed: tables of causes, each with what has to be seen to name it."""
