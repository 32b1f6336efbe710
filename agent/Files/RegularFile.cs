using OpenSandbox.Interop;

namespace OpenSandbox.Agent;

/// <summary>Opens regular files from threads that may hang.</summary>
internal static class RegularFile
{
    /// <summary>Opens a file for reading after a look at what it is: opening a device may already do something. Links are followed.</summary>
    /// <exception cref="GuestException">There is none, or it is no regular file.</exception>
    internal static int Open(string path, out StatxBuffer stat)
    {
        PathBase anywhere = TrustedMounts.Anywhere(path);
        int look = GuestException.Check(GuestFile.Open(anywhere, Linux.O_PATH), "open " + path);
        try
        {
            GuestFile.RequireRegular(GuestFile.Stat(look, path), path);
        }
        finally
        {
            _ = Libc.Close(look);
        }

        int fd = GuestException.Check(GuestFile.Open(anywhere, Linux.O_RDONLY | Linux.O_NONBLOCK | Linux.O_NOCTTY), "open " + path);
        try
        {
            stat = GuestFile.Stat(fd, path);
            GuestFile.RequireRegular(stat, path);
            return fd;
        }
        catch
        {
            _ = Libc.Close(fd);
            throw;
        }
    }
}
