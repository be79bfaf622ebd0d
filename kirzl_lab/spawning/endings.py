"""Words for servers that did not start, or ended without anybody asking (English message ids).

They have no fields: a page that only has the English words can still find their translation.
"""

OUT_OF_MEMORY = (
    "Your server needed more memory than its size has, and was ended: choose a larger size, or load less at once."
)
ENDED_ITSELF = "Your server ended by itself. If you did not mean it to, start it again."
NOT_STARTED = "JupyterLab ended before it was ready. Try again; if that goes on, tell the people who operate the lab."
NOT_READY = "JupyterLab did not answer in time. Try again; if that goes on, tell the people who operate the lab."

# -- in a cluster ------------------------------------------------------------------------------------------------

NO_IMAGE = "The software of this space could not be fetched. Tell the people who run the space: trying again helps only once that is mended."
NO_ROOM = "No machine of the lab has room for this size at the moment: choose a smaller size, or try again later."
TOO_LARGE = "No machine of the lab is large enough for this size: choose a smaller one, and tell the people who operate the lab."
NO_VOLUME = "Your files could not be reached. They are kept: try again in a few minutes, and tell the people who operate the lab if that goes on."
EVICTED = "The machine of your server ran out of memory or disk space, and your server was ended. Your files are kept: start it again."
DRAINED = "The machine on which your server ran was taken out of service, and your server was ended. Your files are kept: start it again."
NODE_LOST = (
    "The machine on which your server ran does not answer any more. Your files are kept: start your server again."
)
STILL_ENDING = (
    "Your last server in this space is still ending, and this one needs its files: try again in a few minutes."
)
REMOVED = "Your server was removed from the cluster. Your files are kept: start it again."
NOT_SET_UP = (
    "Your server could not be set up. Tell the people who operate the lab: trying again helps only once that is mended."
)
QUOTA = "The lab is full at the moment: try again later, or stop a server that you do not need."
CLUSTER_AWAY = "The cluster does not answer at the moment. Servers that run go on; try again in a minute."
LOST_START = "The hub was restarted before your server was there. Your files are kept: start it again."
NO_ROUTE = (
    "Your server was ready, but the lab could not open a way to it, and ended it. Your files are kept: start it again."
)
