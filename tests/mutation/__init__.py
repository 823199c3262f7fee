"""Mutation testing of the core: is every small change of the code noticed by a test?"""
