using System.Runtime.InteropServices;
using System.Text;

namespace OpenSandbox.Agent;

/// <summary>
/// Lays out argv, environment and paths for one spawn in reused unmanaged memory: two blocks, strings and pointers, that grow to what
/// the largest request needed. One thread's own. Addresses are taken only after the last string is in place.
/// </summary>
internal sealed unsafe class SpawnArena
{
    // JUSTIFICATION: the child reads these blocks while the caller stands still; managed memory would have to be pinned string by string.
    // SAFETY: every write goes through Reserve/Push, which grow the block first; pointers are computed in Resolve, after which nothing
    // is added until Reset.
    private byte* _strings;
    private int _stringCapacity;
    private int _stringLength;
    private nint* _pointers;
    private int _pointerCapacity;
    private int _pointerCount;

    /// <summary>Bytes of strings so far: what the kernel counts against its limit for arguments.</summary>
    internal int StringBytes => _stringLength;

    /// <summary>Position of the next pointer.</summary>
    internal int PointerCount => _pointerCount;

    /// <summary>Position at which the next string begins.</summary>
    internal int StringPosition => _stringLength;

    /// <summary>Forgets everything.</summary>
    internal void Reset()
    {
        _stringLength = 0;
        _pointerCount = 0;
    }

    /// <summary>Adds a string and its NUL, and a pointer to it.</summary>
    internal void AddPointed(string text)
    {
        Push(_stringLength + 1);
        AddString(text, terminated: true);
    }

    /// <summary>Adds a pointer to a string whose position is known.</summary>
    internal void AddPointer(int position) => Push(position + 1);

    /// <summary>Adds the null pointer that ends a list, or a slot to be filled later.</summary>
    internal void AddNull() => Push(0);

    /// <summary>Adds (part of) a string.</summary>
    internal void AddString(string text, bool terminated)
    {
        int most = Encoding.UTF8.GetMaxByteCount(text.Length) + 1;
        Reserve(most);
        int count = Encoding.UTF8.GetBytes(text, new Span<byte>(_strings + _stringLength, most));
        _stringLength += count;
        if (terminated)
        {
            _strings[_stringLength++] = 0;
        }
    }

    /// <summary>Turns positions into addresses. Nothing may be added afterwards.</summary>
    internal void Resolve()
    {
        for (int i = 0; i < _pointerCount; i++)
        {
            if (_pointers[i] != 0)
            {
                _pointers[i] = (nint)(_strings + (_pointers[i] - 1));
            }
        }
    }

    /// <summary>The list that begins at a position of <see cref="PointerCount"/>.</summary>
    internal byte** List(int position) => (byte**)(_pointers + position);

    /// <summary>The string that begins at a position of <see cref="StringPosition"/>.</summary>
    internal byte* StringAt(int position) => _strings + position;

    private void Reserve(int bytes)
    {
        if (_stringLength + bytes > _stringCapacity)
        {
            _stringCapacity = Math.Max(16 * 1024, 2 * (_stringLength + bytes));
            _strings = (byte*)NativeMemory.Realloc(_strings, (nuint)_stringCapacity);
        }
    }

    // Positions are stored plus one, so that zero stays the null pointer.
    private void Push(nint value)
    {
        if (_pointerCount == _pointerCapacity)
        {
            _pointerCapacity = Math.Max(512, 2 * _pointerCapacity);
            _pointers = (nint*)NativeMemory.Realloc(_pointers, (nuint)_pointerCapacity * (nuint)sizeof(nint));
        }

        _pointers[_pointerCount++] = value;
    }
}
