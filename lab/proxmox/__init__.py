"""The lab's Proxmox VE: fakepve in a process of its own, extended where the real API behaves differently.

`python -m lab.proxmox --config FILE` serves it over TLS, with a control socket for the lab and its tests.

It is a simulation of the API and of nothing below it: no QEMU, no disk, no download. What runs in a VM is played by the
node simulator, which is told about every change of power.

fakepve is AGPL-3.0-or-later. The modules here that build on its classes carry that licence too; nothing outside this
package imports them, and the program talks to this process only over the network.
"""
