using System.Xml.Linq;

namespace OpenSandbox.Architecture.Tests;

/// <summary>Which project may know which other: Host, Cli, Testing, PerfHarness -> Vmm -> { Qmp, VirtioSerial, Cgroups } &lt;- agent.</summary>
public sealed class ProjectGraphTests
{
    private static readonly Dictionary<string, string[]> s_allowed = new(StringComparer.Ordinal)
    {
        ["OpenSandbox.Qmp"] = [],
        ["OpenSandbox.VirtioSerial"] = [],
        ["OpenSandbox.Cgroups"] = [],
        ["OpenSandbox.Vmm"] = ["OpenSandbox.Cgroups", "OpenSandbox.Qmp", "OpenSandbox.VirtioSerial"],
        ["OpenSandbox.Host"] = ["OpenSandbox.Vmm"],
        ["OpenSandbox.Cli"] = ["OpenSandbox.Host", "OpenSandbox.Vmm"],
        ["OpenSandbox.Testing"] = ["OpenSandbox.Vmm"],
        ["Agent"] = ["OpenSandbox.Cgroups", "OpenSandbox.VirtioSerial"],
    };

    private static readonly Dictionary<string, string[]> s_allowedPackages = new(StringComparer.Ordinal)
    {
        ["OpenSandbox.Qmp"] = ["Microsoft.Extensions.Logging.Abstractions"],
        ["OpenSandbox.VirtioSerial"] = [],
        ["OpenSandbox.Cgroups"] = [],
        ["OpenSandbox.Vmm"] = ["Microsoft.Extensions.Logging.Abstractions"],
        ["OpenSandbox.Testing"] = ["xunit.extensibility.execution", "Xunit.SkippableFact"],
        ["Agent"] = [],
    };

    public static TheoryData<string> Projects => [.. Directory
        .EnumerateFiles(Path.Combine(Repository.Root, "src"), "*.csproj", SearchOption.AllDirectories)
        .Concat(Directory.EnumerateFiles(Path.Combine(Repository.Root, "agent"), "*.csproj"))
        .Select(path => Path.GetRelativePath(Repository.Root, path))
        .Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Projects))]
    public void Project_References_PointInOneDirection(string project)
    {
        string name = Path.GetFileNameWithoutExtension(project);
        Assert.True(s_allowed.ContainsKey(name), $"{name} is new: say in this test what it may know");

        Assert.Equal(s_allowed[name], Items(project, "ProjectReference").Select(Path.GetFileNameWithoutExtension).Order(StringComparer.Ordinal));
        if (s_allowedPackages.TryGetValue(name, out string[]? packages))
        {
            Assert.Equal(packages, Items(project, "PackageReference"));
        }
    }

    [Fact]
    public void Packages_AllVersions_StandInOnePlace()
    {
        foreach (string path in Directory.EnumerateFiles(Repository.Root, "*.csproj", SearchOption.AllDirectories))
        {
            Assert.DoesNotContain(
                XDocument.Load(path).Descendants("PackageReference"), static reference => reference.Attribute("Version") is not null);
        }
    }

    private static string[] Items(string project, string kind) => [.. XDocument.Load(Path.Combine(Repository.Root, project))
        .Descendants(kind).Select(static item => item.Attribute("Include")!.Value.Replace('\\', '/'))];
}
