"""Nothing acknowledged is lost: a server that is killed over and over, and disks that fail.

`clients` push, move and delete while `target` is killed; `ledger` knows what was acknowledged;
`inspection` compares that with what the server shows, and with what lies in the directory.
"""
