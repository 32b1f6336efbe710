using System.Runtime.InteropServices;

namespace OpenSandbox.Agent;

/// <summary>struct osb_spawn of native/spawn.c.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct SpawnBlock
{
    internal byte** Paths;
    internal byte** Argv;
    internal byte** ShellArgv;
    internal byte** Environment;
    internal byte* WorkingDirectory;
    internal uint* Groups;
    internal SpawnLimit* Limits;
    internal uint LimitCount;
    internal int Terminal;
    internal int Report;
    internal uint GroupCount;
    internal uint Uid;
    internal uint Gid;
    internal int WorkingDirectoryOptional;
    internal int StandardInput;
    internal int StandardOutput;
    internal int StandardError;
    internal int Cgroup;
    internal int Pid;
    internal int PidFd;
    internal int Step;
    internal int Error;
}
