"""What people write with opensearch-py: every object of a file is put, in order.

opensearch_put.py URL USER PASSWORD FILE        the file is a list of [path, body]
"""
import json
import sys

from opensearchpy import OpenSearch
from opensearchpy.exceptions import TransportError

url, user, password, file = sys.argv[1:]
with open(file) as text:
    wanted = json.load(text)
client = OpenSearch(url, http_auth=(user, password) if user else None, timeout=30)
for path, body in wanted:
    try:
        client.transport.perform_request("PUT", path, body=body)
    except TransportError as error:
        # A policy that is there is refused without its sequence number.
        if error.status_code != 409:
            raise
