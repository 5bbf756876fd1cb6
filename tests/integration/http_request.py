"""One HTTP request, as the tests make them: nothing is followed or tried again."""


def send(connection, method, path, body=None, headers=None):
    """The answer has status, headers and, as an attribute `body`, its bytes. The connection is closed."""
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        answer.body = answer.read()
        return answer
    finally:
        connection.close()
