"""CustomResourceDefinitions: kinds that are made at run time.

`controller.py` keeps the registry equal to the definitions; `strategy.py` is what the server does with one custom kind;
`values.py` judges values by a schema; `naming.py` decides which names a definition gets; `conversion.py` brings objects
into another version.
"""
