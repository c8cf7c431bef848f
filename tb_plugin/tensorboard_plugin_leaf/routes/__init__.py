"""The HTTP routes of the LEAF tab.

This folder imports ``schema``, ``codec`` and ``store``. ``http_api.md`` describes the routes.
"""
