"""De-identification of one agency's table: hierarchies, an exact lattice search, Mondrian, and what they reach.

Everything works on columns of integer codes, whose texts stay in the vocabulary:

    hierarchy files -> Hierarchy \\
    an agency's columns ---------> encode -> Cells -> lattice.search -> Release -> metrics.measure -> PrivacyReport
                                         \\-> mondrian.partition ------/
"""
