namespace OpenSandbox.Agent;

/// <summary>Who a command runs as, or a file belongs to.</summary>
/// <param name="Name">Name, or the number where the image has no name for it.</param>
/// <param name="Uid">User id.</param>
/// <param name="Gid">Primary group id.</param>
/// <param name="Home">Home directory.</param>
/// <param name="Shell">Login shell.</param>
/// <param name="Groups">All groups, the primary one among them.</param>
internal sealed record GuestUser(string Name, uint Uid, uint Gid, string Home, string Shell, uint[] Groups);
