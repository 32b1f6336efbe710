using System.Reflection;
using System.Text;

namespace OpenSandbox.Architecture.Tests;

/// <summary>The public surface, one sorted line a member, compared with approved files. UPDATE_PUBLIC_API=1 rewrites them.</summary>
public sealed class PublicApiTests
{
    public static TheoryData<string> Assemblies => ["OpenSandbox.Qmp", "OpenSandbox.VirtioSerial", "OpenSandbox.Cgroups", "OpenSandbox.Vmm", "OpenSandbox.Host", "OpenSandbox.Testing"];

    [Theory]
    [MemberData(nameof(Assemblies))]
    public void PublicSurface_IsAsApproved(string name)
    {
        string actual = Describe(Assembly.Load(name));
        string source = Path.Combine(Repository.Root, "tests", "OpenSandbox.Architecture.Tests", "approved", $"{name}.txt");
        if (Environment.GetEnvironmentVariable("UPDATE_PUBLIC_API") == "1")
        {
            File.WriteAllText(source, actual);
        }

        string[] approved = File.Exists(source) ? File.ReadAllLines(source) : [];
        string[] lines = actual.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        string difference = string.Join('\n', approved.Except(lines).Select(static line => $"- {line}").Concat(lines.Except(approved).Select(static line => $"+ {line}")));
        Assert.True(difference.Length == 0, $"the public surface of {name} changed; review it and run with UPDATE_PUBLIC_API=1:\n{difference}");
    }

    [Theory]
    [MemberData(nameof(Assemblies))]
    public void PublicTypes_AreNeverInTheBareNamespace(string name) =>
        Assert.DoesNotContain(Assembly.Load(name).GetExportedTypes(), static type => type.Namespace is null or "OpenSandbox");

    [Theory]
    [MemberData(nameof(Assemblies))]
    public void PublicAsyncMethods_TakeATokenLast(string name)
    {
        IEnumerable<string> without = Assembly.Load(name).GetExportedTypes()
            .SelectMany(static type => type.GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly))
            .Where(static method => method.Name.EndsWith("Async", StringComparison.Ordinal))

            // Of the runtime's and of xunit's interfaces.
            .Where(static method => method.Name is not ("DisposeAsync" or "InitializeAsync"))
            .Where(static method => method.GetParameters().LastOrDefault()?.ParameterType != typeof(CancellationToken))
            .Select(static method => $"{method.DeclaringType!.Name}.{method.Name}");

        Assert.Empty(without);
    }

    private static string Describe(Assembly assembly)
    {
        const BindingFlags flags = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        var lines = new List<string>();
        foreach (Type type in assembly.GetExportedTypes())
        {
            lines.Add($"{Name(type)} : {(type.BaseType is null ? "" : Name(type.BaseType))}");
            lines.AddRange(type.GetMembers(flags).Where(IsVisible).Select(member => $"{Name(type)}.{Describe(member)}"));
        }

        lines.Sort(StringComparer.Ordinal);
        return string.Join('\n', lines.Distinct(StringComparer.Ordinal)) + "\n";
    }

    private static bool IsVisible(MemberInfo member) => !member.Name.Contains('<', StringComparison.Ordinal) && member switch
    {
        MethodBase method => (method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly) && (!method.IsSpecialName || method.IsConstructor),
        FieldInfo field => field.IsPublic && !field.IsSpecialName,
        PropertyInfo property => property.GetAccessors(nonPublic: false).Length > 0,
        EventInfo => true,
        _ => false,
    };

    private static string Describe(MemberInfo member) => member switch
    {
        MethodBase method => $"{method.Name}({string.Join(", ", method.GetParameters().Select(static p => $"{Name(p.ParameterType)} {p.Name}{(p.HasDefaultValue ? "?" : "")}"))})"
            + (method is MethodInfo info ? $" -> {Name(info.ReturnType)}" : ""),
        FieldInfo field => $"{field.Name} : {Name(field.FieldType)}{(field.IsLiteral ? $" = {field.GetRawConstantValue()}" : "")}",
        PropertyInfo property => $"{property.Name} : {Name(property.PropertyType)} {{{(property.GetMethod?.IsPublic == true ? " get" : "")}{(property.SetMethod?.IsPublic == true ? " set" : "")} }}",
        _ => member.Name,
    };

    private static string Name(Type type)
    {
        if (!type.IsGenericType)
        {
            return type.Name;
        }

        var text = new StringBuilder(type.Name[..type.Name.IndexOf('`', StringComparison.Ordinal)]);
        return text.Append('<').AppendJoin(", ", type.GetGenericArguments().Select(Name)).Append('>').ToString();
    }
}
