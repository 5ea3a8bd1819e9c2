"""What a site must have before this stack is made in it: the demands, what Proxmox answers, and one report of both.

Nothing here owns a resource, or runs in a preview.
"""
