using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Disks;

namespace OpenSandbox.Vmm;

/// <summary>The part about directories, space and memory files.</summary>
public static partial class HostPrerequisites
{
    /// <summary>A golden snapshot and a few overlays.</summary>
    private const long LeastStateBytes = 1L << 30;

    /// <summary>The default image, what building it takes, and room for what sandboxes write.</summary>
    private const long GoodStateBytes = 6L << 30;

    private const long LeastRuntimeBytes = 1L << 20;

    private static HostPrerequisite CheckDirectory(string name, string directory, string setting, long leastBytes, long goodBytes)
    {
        string variable = name == "state" ? "OPENSANDBOX_STATE" : "OPENSANDBOX_RUNTIME";
        string remedy = $"Make {directory} writable, or choose another with {variable} (SandboxHostOptions.{setting})";

        // A directory that is missing is made by the first host; it can be if its nearest ancestor is writable.
        string existing = Path.GetFullPath(directory);
        while (!Directory.Exists(existing) && Path.GetDirectoryName(existing) is string parent)
        {
            existing = parent;
        }

        long free;
        try
        {
            using SafeFileHandle probe = UnnamedFile.Create(existing);
            free = new DriveInfo(existing).AvailableFreeSpace;
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return new HostPrerequisite(name, HostPrerequisiteStatus.Missing, $"{directory} is not writable: {failure.Message}", remedy);
        }

        string room = string.Create(CultureInfo.InvariantCulture, $"{free / (double)(1L << 30):0.0} GiB free");
        return free < leastBytes
            ? new HostPrerequisite(name, HostPrerequisiteStatus.Missing, $"{directory}: only {room}", $"Free some space there, or choose another with {variable} (SandboxHostOptions.{setting})")
            : free < goodBytes
                ? new HostPrerequisite(name, HostPrerequisiteStatus.Warning, $"{directory}: {room}; building an image takes more", $"Free some space there, or choose another with {variable}")
                : new HostPrerequisite(name, HostPrerequisiteStatus.Ok, $"{directory}: {room}");
    }

    private static HostPrerequisite CheckMemfd()
    {
        using SafeFileHandle file = Libc.MemfdCreate("opensandbox-check", Libc.MFD_CLOEXEC | Libc.MFD_ALLOW_SEALING);
        const int seals = Libc.F_SEAL_SEAL | Libc.F_SEAL_SHRINK | Libc.F_SEAL_GROW | Libc.F_SEAL_WRITE;
        if (!file.IsInvalid && Libc.Fcntl(file, Libc.F_ADD_SEALS, seals) == 0)
        {
            return new HostPrerequisite("memfd", HostPrerequisiteStatus.Ok, "memory files can be sealed against change");
        }

        return new HostPrerequisite(
            "memfd",
            HostPrerequisiteStatus.Missing,
            $"no sealed memory files: {Errno.Describe(Marshal.GetLastPInvokeError())}",
            "Allow memfd_create and F_ADD_SEALS (a seccomp profile of a container may forbid them)");
    }
}
