namespace OpenSandbox.Qmp;

/// <summary>QEMU's version.</summary>
/// <param name="Major">The 7 of 7.2.22.</param>
/// <param name="Minor">The 2 of 7.2.22.</param>
/// <param name="Micro">The 22 of 7.2.22.</param>
/// <param name="Package">The packager's version, such as <c>Debian 1:7.2+dfsg-7+deb12u18</c>; empty when there is none. At most 256 characters.</param>
public sealed record QmpVersion(int Major, int Minor, int Micro, string Package);
