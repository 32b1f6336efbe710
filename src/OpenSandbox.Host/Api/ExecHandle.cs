using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>A command that its client asks after.</summary>
/// <param name="Id">Its id.</param>
/// <param name="StartedAt">When it was started.</param>
/// <param name="Running">The command.</param>
internal sealed record ExecHandle(string Id, DateTimeOffset StartedAt, Task<ExecResult> Running);
