from __future__ import annotations
def draw(folder, tables): pass
